"""Known vulnerabilities of what an image holds, each with what the image proves about it."""
