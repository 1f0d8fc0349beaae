SELECT c.*,
       s.enrollment_start_date AS span_start, s.span_key,
       coalesce(c.claim_payer, s.payer, p.payer) AS payer
FROM (SELECT r.data_source, r.claim_id, r.patient_id, r.product, max(r.claim_payer) AS claim_payer, max(r.in_network_flag) AS in_network_flag,
             min(r.dispensing_date) AS first_dispensed, max(r.dispensing_date) AS last_dispensed,
             max(r.paid_date) AS paid_date,
             max(r.days_supply) AS days_supply, max(r.refills) AS refills,
             max(r.prescribing_provider_npi) AS prescribing_provider_npi,
             max(r.dispensing_provider_npi) AS dispensing_provider_npi,
             sum(round(r.allowed_amount, 2)) AS total_allowed, sum(round(r.paid_amount, 2)) AS total_paid
      FROM pharmacy_claim r
      GROUP BY r.data_source, r.claim_id, r.patient_id, r.product) c
LEFT JOIN cover s
  ON s.data_source = c.data_source AND s.patient_id = c.patient_id AND s.product = c.product
 AND c.first_dispensed >= s.enrollment_start_date AND c.first_dispensed <= s.enrollment_end_date
 AND c.first_dispensed < s.next_start
LEFT JOIN (SELECT e.data_source, e.patient_id,
                  substr(max(CAST(e.enrollment_start_date AS VARCHAR) || e.payer), 11) AS payer
           FROM eligibility e
           GROUP BY e.data_source, e.patient_id) p
  ON p.data_source = c.data_source AND p.patient_id = c.patient_id
