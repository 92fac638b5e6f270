"""How much of a tree nobody needs: by package, layer and page, why it is there, and what it costs to move."""
