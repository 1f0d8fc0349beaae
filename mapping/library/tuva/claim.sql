SELECT c.*,
       '0' || c.bill_type_code AS bill_type4,
       CASE WHEN c.claim_type = 'professional' THEN 'professional'
            WHEN substr(c.bill_type_code, 1, 2) IN ('11', '12', '18', '21', '41') THEN 'inpatient'
            ELSE 'outpatient' END AS eob_kind,
       coalesce(c.admission_date, c.claim_start_date) AS stay_start,
       coalesce(c.discharge_date, c.claim_end_date) AS stay_end,
       s.enrollment_start_date AS span_start, s.span_key,
       coalesce(c.claim_payer, s.payer, p.payer) AS payer
FROM (SELECT m.*,
             row_number() OVER (PARTITION BY m.patient_id, m.data_source, m.claim_id ORDER BY m.claim_line_number) AS line_rank,
             sum(m.charge_amount) OVER (PARTITION BY m.patient_id, m.data_source, m.claim_id) AS total_charge,
             sum(m.allowed_amount) OVER (PARTITION BY m.patient_id, m.data_source, m.claim_id) AS total_allowed,
             sum(m.paid_amount) OVER (PARTITION BY m.patient_id, m.data_source, m.claim_id) AS total_paid
      FROM medical_claim m) c
LEFT JOIN cover s
  ON s.data_source = c.data_source AND s.patient_id = c.patient_id AND s.product = c.product
 AND c.claim_start_date >= s.enrollment_start_date AND c.claim_start_date <= s.enrollment_end_date
 AND c.claim_start_date < s.next_start
LEFT JOIN (SELECT e.data_source, e.patient_id,
                  substr(max(CAST(e.enrollment_start_date AS VARCHAR) || e.payer), 11) AS payer
           FROM eligibility e
           GROUP BY e.data_source, e.patient_id) p
  ON p.data_source = c.data_source AND p.patient_id = c.patient_id
WHERE c.line_rank = 1
