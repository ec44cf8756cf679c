"""What drives the program for the tests, and what makes their inputs."""
