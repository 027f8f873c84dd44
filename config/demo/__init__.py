"""A live market in one process: who is in it (`cast`, `world`), who trades in it (`quoting`, `bots`), what runs it (`runner`)."""
