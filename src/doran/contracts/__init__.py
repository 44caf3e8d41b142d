"""What is said across a border: plain frozen data that imports nothing of ours."""
