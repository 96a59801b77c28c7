"""How each provider writes requests and replies, as JSON. Pure translation: no policy, no SDK."""
