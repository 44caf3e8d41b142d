"""A black-box judge of any chat server that speaks the contract: it uses, breaks and convicts it.

Nothing here imports the rest of Doran. `generator` thinks up what people do, `device` does it
through `client`, `nemesis` breaks the server meanwhile, `history` writes down what was seen, and
`judge` reads the history with the table in `rules`.
"""
