-- name: standing_charges
-- kind: view
-- summary: Rows of the journal that stand: entered, and not taken back. Sums over them equal sums over
--   charges; here rows can be counted and looked at one by one as well.
-- grain: one call or execution
SELECT c.*
FROM charges c
LEFT ANTI JOIN (SELECT charge_id FROM charges WHERE entry = 'reversal') r ON c.charge_id = r.charge_id
WHERE c.entry = 'charge'
