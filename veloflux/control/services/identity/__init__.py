"""Who people and programs are, how they prove it, and what they get for it."""
