"""What traffic was like, by the second, minute and hour, and over restarts."""
