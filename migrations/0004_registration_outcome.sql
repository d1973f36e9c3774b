-- What an ended registration may tell its browser: `account`, it became the account; `told`, another one of the same
-- browser did. Without either its page looks like that of one that still waits, and costs the same. An older node beside
-- this one sets neither: the page of what was activated there waits until its day is over.
ALTER TABLE registrations ADD COLUMN outcome TEXT;

UPDATE registrations SET outcome = 'account' WHERE ended_at IS NOT NULL AND EXISTS (
    SELECT 1 FROM users WHERE users.email_key = registrations.email_key
    AND users.password_hash = registrations.password_hash
);
