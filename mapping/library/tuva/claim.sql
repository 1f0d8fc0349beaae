-- A member's eligibility is looked up by key, claim by claim: what a part of an
-- export costs does not grow with the number of members.
SELECT c.*,
       '0' || c.bill_type_code AS bill_type4,
       CASE WHEN c.claim_type = 'professional' THEN 'professional'
            WHEN substr(c.bill_type_code, 1, 2) IN ('11', '12', '18', '21', '41') THEN 'inpatient'
            ELSE 'outpatient' END AS eob_kind,
       coalesce(c.admission_date, c.claim_start_date) AS stay_start,
       coalesce(c.discharge_date, c.claim_end_date) AS stay_end,
       s.enrollment_start_date AS span_start, s.span_key,
       coalesce(c.claim_payer, s.payer,
                (SELECT substr(max(CAST(e.enrollment_start_date AS VARCHAR) || e.payer), 11) FROM eligibility e
                 WHERE e.data_source = c.data_source AND e.patient_id = c.patient_id)) AS payer
FROM (SELECT m.*,
             row_number() OVER lines AS line_rank,
             sum(m.charge_amount) OVER lines AS total_charge,
             sum(m.allowed_amount) OVER lines AS total_allowed,
             sum(m.paid_amount) OVER lines AS total_paid
      FROM medical_claim m
      -- From the first line on, which is all of them: one window for rank and sums.
      WINDOW lines AS (PARTITION BY m.patient_id, m.data_source, m.claim_id ORDER BY m.claim_line_number
                       ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) c
-- The last span of the product that begins by the day, if it holds the day.
LEFT JOIN LATERAL (
  SELECT e.enrollment_start_date, e.enrollment_end_date, e.span_key, e.payer FROM eligibility e
  WHERE e.data_source = c.data_source AND e.patient_id = c.patient_id AND e.product = c.product
    AND e.enrollment_start_date <= c.claim_start_date
  ORDER BY e.enrollment_start_date DESC, e.span_key DESC
  LIMIT 1) s ON s.enrollment_end_date >= c.claim_start_date
WHERE c.line_rank = 1
