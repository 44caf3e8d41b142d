"""Answers: jobs, prompts, responses and embeddings."""
