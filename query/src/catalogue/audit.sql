-- name: audit
-- kind: view
-- summary: The ledger, with the names of people readable. In `audit_records`, and in the files, they are sealed:
--   a person who was forgotten reads `erased` here, and the chain there is as it was.
-- grain: one record
SELECT
  date, seq, "at", event,
  opened(actor) AS actor,
  opened(subject) AS subject,
  opened(record) AS record,
  previous_hash, hash, log_position
FROM audit_records
