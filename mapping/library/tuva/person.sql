SELECT x.*
FROM (SELECT e.*, row_number() OVER (PARTITION BY e.data_source, e.patient_id ORDER BY e.enrollment_start_date DESC) AS recency
      FROM tuva.eligibility e) x
WHERE x.recency = 1
