"""HTTP/1.1: connections, routes, and each protocol that is spoken over them."""
