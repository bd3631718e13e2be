"""Speech to text: from the sound of a source to its transcript. Runs in the child, except `models`."""
