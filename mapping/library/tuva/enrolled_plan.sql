SELECT e.payer, e.plan, e.data_source, e.patient_id, min(e.enrollment_start_date) AS first_day, max(e.enrollment_end_date) AS last_day
FROM eligibility e
WHERE e.payer IS NOT NULL AND e.plan IS NOT NULL
GROUP BY e.payer, e.plan, e.data_source, e.patient_id
