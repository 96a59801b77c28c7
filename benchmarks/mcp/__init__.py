"""What the MCP proxy costs, and what it saves."""
