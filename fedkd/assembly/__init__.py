"""Assembly: from a config to objects. The only floor that knows every part's name."""
