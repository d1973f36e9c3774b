-- Finds the earlier mails to a recipient, which a claim of the next mail to send looks for. A node claims one mail after
-- the other inside SQLite's only writer, so that look must not read the whole outbox.
CREATE INDEX outbox_by_recipient ON outbox (LOWER(recipient), created_at);
