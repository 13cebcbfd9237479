"""What ended a session, from the text of a log. Pure."""
