"""What the doctor asks of a scan and of the chest in it, and how an answer is worded."""
