"""Where a model lives while it learns: tables, consistency, servers, clients, transports."""
