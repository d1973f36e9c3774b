-- What an ended registration may tell its browser: `account`, it became the account; `told`, another one of the same
-- browser did. Otherwise (`hidden`, or none) its page looks as before, and costs the same.
ALTER TABLE registrations ADD COLUMN outcome TEXT;
