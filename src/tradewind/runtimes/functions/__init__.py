"""Functions: AWS Lambda's API through one client, to AWS or to the host on this machine."""
