"""The direct way: order entry that does not pass through Django's handlers, middleware and the framework's views.

Under ASGI those start threads for each request, each with a new connection to PostgreSQL; under WSGI they are
work that an order has no use for. A request that is plain in every respect (see `calls.py`) is answered here by the
functions that the views call, `trade.apis.entry`, with the same parsers, rules, errors and headers;
`config/tests/test_direct.py` holds both ways against each other. Any other request goes to Django, untouched.
"""
