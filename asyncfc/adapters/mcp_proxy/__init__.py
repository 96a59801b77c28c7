"""`asyncfc mcp-proxy`: futures for any MCP host, by one changed line of its configuration."""
