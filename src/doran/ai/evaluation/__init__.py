"""`doran ai eval`: saved cases, put to the models of the settings, with the prompts in force or with one on trial.

A case says what was said and what must hold of the answer (`cases`); the recipes that do jobs do them here as well,
with a chat made of the case (`neighbours`). Words of cases go to the providers of the settings, outside ones too:
they are the operator's own, so there is no consent to ask for, and nothing is written down.
"""
