"""The tools in which people label: tasks out, one module a tool, and what they said back in."""
