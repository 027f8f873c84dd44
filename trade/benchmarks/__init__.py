"""How fast orders are matched and stored, each figure beside its limit. `manage.py bench` runs all of them."""
