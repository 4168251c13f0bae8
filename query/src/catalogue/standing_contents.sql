-- name: standing_contents
-- kind: view
-- summary: The content of each span as it was told last.
-- grain: one span
SELECT c.*
FROM contents c
LEFT ANTI JOIN (SELECT trace_id, span_id, log_position FROM contents) l
  ON l.trace_id = c.trace_id AND l.span_id = c.span_id AND l.log_position > c.log_position
