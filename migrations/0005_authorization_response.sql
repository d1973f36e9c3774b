-- The answer that closed a flow, sealed under the key-encryption key, so that a reload leads to the client with the same
-- code. It is good for as long as the code is. None: the flow is open, was closed by an older node, or leads to no client.
ALTER TABLE flows ADD COLUMN sealed_response TEXT;
