"""What the daemon serves: numbered revisions, and every way to change them."""
