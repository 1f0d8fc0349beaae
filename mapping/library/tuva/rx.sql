SELECT c.*,
       s.enrollment_start_date AS span_start, s.span_key,
       coalesce(c.claim_payer, s.payer,
                (SELECT substr(max(CAST(e.enrollment_start_date AS VARCHAR) || e.payer), 11) FROM eligibility e
                 WHERE e.data_source = c.data_source AND e.patient_id = c.patient_id)) AS payer
FROM (SELECT r.data_source, r.claim_id, r.patient_id, r.product, max(r.claim_payer) AS claim_payer, max(r.in_network_flag) AS in_network_flag,
             min(r.dispensing_date) AS first_dispensed, max(r.dispensing_date) AS last_dispensed,
             max(r.paid_date) AS paid_date,
             max(r.days_supply) AS days_supply, max(r.refills) AS refills,
             max(r.prescribing_provider_npi) AS prescribing_provider_npi,
             max(r.dispensing_provider_npi) AS dispensing_provider_npi,
             sum(round(r.allowed_amount, 2)) AS total_allowed, sum(round(r.paid_amount, 2)) AS total_paid
      FROM pharmacy_claim r
      GROUP BY r.data_source, r.claim_id, r.patient_id, r.product) c
-- As in claim.sql: the last span that begins by the day, if it holds the day.
LEFT JOIN LATERAL (
  SELECT e.enrollment_start_date, e.enrollment_end_date, e.span_key, e.payer FROM eligibility e
  WHERE e.data_source = c.data_source AND e.patient_id = c.patient_id AND e.product = c.product
    AND e.enrollment_start_date <= c.first_dispensed
  ORDER BY e.enrollment_start_date DESC, e.span_key DESC
  LIMIT 1) s ON s.enrollment_end_date >= c.first_dispensed
