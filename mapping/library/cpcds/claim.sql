-- One row a claim: the header columns of its first line. Days are read out of
-- timestamps; the epoch's eve stands for none. Amounts lose their binary tails.
SELECT c.claim_unique_identifier, c.patient_account_number, c.medical_record_number, c.claim_adjusted_from_identifier, c.claim_adjusted_to_identifier,
       c.claim_diagnosis_related_group, c.claim_source_inpatient_admission_code, c.claim_inpatient_admission_type_code,
       c.claim_bill_facility_type_code, c.claim_service_classification_type_code, c.claim_frequency_code, c.claim_processing_status_code,
       c.claim_type, c.patient_discharge_status_code, c.claim_payment_denial_code, c.claim_payee_type_code, c.claim_payee,
       c.claim_payment_status_code, c.claim_payer_identifier, c.claim_primary_payer_identifier, c.days_supply, c.rx_service_reference_number,
       c.daw_product_selection_code, c.refill_number, c.prescription_origin_code, c.plan_reported_brand_generic_code, c.pharmacy_service_type_code,
       c.patient_residence_code, c.claim_billing_provider_npi, c.claim_billing_provider_network_status, c.claim_attending_provider_npi,
       c.claim_attending_provider_network_status, c.claim_site_of_service_npi, c.claim_site_of_service_network_status, c.claim_referring_provider_npi,
       c.claim_referring_provider_network_status, c.claim_performing_provider_npi, c.claim_performing_provider_network_status,
       c.claim_prescribing_provider_npi, c.claim_prescribing_provider_network_status, c.claim_pcp_npi, c.type_of_service, c.coverage_id,
       c.compound_code,
       CAST(nullif(substr(CAST(c.claim_paid_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS claim_paid_date,
       CAST(nullif(substr(CAST(c.claim_received_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS claim_received_date,
       CAST(nullif(substr(CAST(c.member_admission_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS member_admission_date,
       CAST(nullif(substr(CAST(c.member_discharge_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS member_discharge_date,
       CAST(nullif(substr(CAST(c.service_from_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS service_from_date,
       CAST(nullif(substr(CAST(c.service_to_date AS VARCHAR), 1, 10), '1969-12-31') AS DATE) AS service_to_date,
       round(CAST(c.claim_total_submitted_amount AS DECIMAL(28,15)), 2) AS claim_total_submitted_amount,
       round(CAST(c.claim_total_allowed_amount AS DECIMAL(28,15)), 2) AS claim_total_allowed_amount,
       round(CAST(c.amount_paid_by_patient AS DECIMAL(28,15)), 2) AS amount_paid_by_patient,
       round(CAST(c.claim_amount_paid_to_provider AS DECIMAL(28,15)), 2) AS claim_amount_paid_to_provider,
       round(CAST(c.member_reimbursement AS DECIMAL(28,15)), 2) AS member_reimbursement,
       round(CAST(c.claim_payment_amount AS DECIMAL(28,15)), 2) AS claim_payment_amount,
       round(CAST(c.claim_disallowed_amount AS DECIMAL(28,15)), 2) AS claim_disallowed_amount,
       round(CAST(c.member_paid_deductible AS DECIMAL(28,15)), 2) AS member_paid_deductible,
       round(CAST(c.coinsurance_liability_amount AS DECIMAL(28,15)), 2) AS coinsurance_liability_amount,
       round(CAST(c.copay_amount AS DECIMAL(28,15)), 2) AS copay_amount,
       round(CAST(c.member_liability AS DECIMAL(28,15)), 2) AS member_liability,
       round(CAST(c.claim_primary_payer_paid_amount AS DECIMAL(28,15)), 2) AS claim_primary_payer_paid_amount,
       round(CAST(c.claim_discount_amount AS DECIMAL(28,15)), 2) AS claim_discount_amount,
       coalesce(c.coverage_id, c.claim_payer_identifier) AS covered_by,
       v.coverage_id AS known_coverage,
       CASE WHEN c.claim_billing_provider_network_status = 'in' THEN 'innetwork'
            WHEN c.claim_billing_provider_network_status = 'out' THEN 'outofnetwork' ELSE 'other' END AS payment_network,
       CASE WHEN v.coverage_id = c.claim_payer_identifier THEN v.payer_identifier ELSE c.claim_payer_identifier END AS payer_id,
       CASE WHEN c.claim_type IN ('inpatient-facility', 'outpatient-facility') THEN 'institutional'
            WHEN c.claim_type = 'pharmacy' THEN 'pharmacy'
            ELSE 'professional' END AS kind,
       '0' || c.claim_bill_facility_type_code || c.claim_service_classification_type_code || c.claim_frequency_code AS bill_type,
       CAST(nullif(substr(s.first_day, 1, 10), '1969-12-31') AS DATE) AS first_day,
       CAST(nullif(substr(s.last_day, 1, 10), '1969-12-31') AS DATE) AS last_day
FROM (SELECT x.*, row_number() OVER (PARTITION BY x.patient_account_number, x.claim_unique_identifier
                                     ORDER BY CAST(x.line_number AS INTEGER)) AS line_rank
      FROM cpcds.claims x) c
JOIN (SELECT y.patient_account_number, y.claim_unique_identifier,
             min(CAST(y.claim_service_start_date AS VARCHAR)) AS first_day, max(CAST(y.claim_service_end_date AS VARCHAR)) AS last_day
      FROM cpcds.claims y
      GROUP BY y.patient_account_number, y.claim_unique_identifier) s
  ON s.patient_account_number = c.patient_account_number AND s.claim_unique_identifier = c.claim_unique_identifier
LEFT JOIN cpcds.coverages v ON v.coverage_id = coalesce(c.coverage_id, c.claim_payer_identifier)
WHERE c.line_rank = 1
