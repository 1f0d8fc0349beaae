-- Spans of one product, each with the start of the next: a day lies in one at most.
SELECT e.data_source, e.patient_id, e.product, e.span_key, e.payer, e.enrollment_start_date, e.enrollment_end_date,
       coalesce(lead(e.enrollment_start_date) OVER (PARTITION BY e.data_source, e.patient_id, e.product ORDER BY e.enrollment_start_date, e.span_key),
                DATE '9999-12-31') AS next_start
FROM eligibility e
