SELECT e.payer, e.plan, count(DISTINCT e.data_source || '/' || e.patient_id) AS member_count
FROM eligibility e
WHERE e.payer IS NOT NULL AND e.plan IS NOT NULL
GROUP BY e.payer, e.plan
