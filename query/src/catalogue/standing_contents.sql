-- name: standing_contents
-- kind: view
-- summary: The content of each span as it was told last; of two tellings in one request, the fuller.
-- grain: one span
WITH again AS (
  -- Most spans are told once and pass as they are: only the others are sorted, since contents are most of
  -- the bytes. The keys stand on the left of the joins, so that they are held in memory and not the contents.
  -- For the same reason they are without the trace: two spans that share an id are sorted for nothing, no more.
  SELECT span_id FROM contents GROUP BY span_id HAVING count(*) > 1
)
SELECT c.*
FROM again a
RIGHT ANTI JOIN contents c ON c.span_id = a.span_id
UNION ALL
SELECT date, start_time, trace_id, span_id, input, output, reasoning, bytes, sha256, log_position
FROM (
  SELECT
    c.*,
    row_number() OVER (
      PARTITION BY c.trace_id, c.span_id ORDER BY c.log_position DESC, c.bytes DESC, c.sha256
    ) AS telling
  FROM again a
  RIGHT SEMI JOIN contents c ON c.span_id = a.span_id
) t
WHERE telling = 1
