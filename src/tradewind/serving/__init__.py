"""Models that answer: endpoints that keep their objective and cost least."""
