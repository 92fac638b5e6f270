"""EC2: requests as values, answers as values, and the provider that sends the one and reads the other."""
