SELECT x.*
FROM (SELECT e.*, row_number() OVER (PARTITION BY e.data_source, e.patient_id ORDER BY e.enrollment_start_date DESC, e.span_key) AS recency
      FROM eligibility e) x
WHERE x.recency = 1
