package meshclient

// DropSnapshot makes the next Snapshot ask again.
func (c *Client) DropSnapshot() { c.cache.drop() }
