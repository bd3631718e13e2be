"""How good the moments and clips are that are made of videos of which everything is known, and what they cost."""
