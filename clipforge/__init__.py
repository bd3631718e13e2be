"""ClipForge: long videos in, short clips out. The project package; it imports no app."""
