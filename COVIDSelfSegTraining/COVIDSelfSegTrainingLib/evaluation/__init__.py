"""Evaluation: cases, scores, and the sheet that shows them beside their baselines."""
