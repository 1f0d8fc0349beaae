WITH line AS (
  SELECT m.data_source, m.claim_id,
         sum(m.charge_amount) AS total_charge, sum(m.allowed_amount) AS total_allowed, sum(m.paid_amount) AS total_paid,
         json_agg(json_build_object(
           'sequence', m.claim_line_number,
           'productOrService', json_build_object('coding', json_build_array(json_build_object(
             'system', CASE WHEN translate(substr(m.hcpcs_code, 1, 4), '0123456789', '') = '' THEN 'http://www.ama-assn.org/go/cpt'
                            ELSE 'http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets' END,
             'code', m.hcpcs_code))),
           'modifier', CASE WHEN m.hcpcs_modifier_1 IS NULL THEN NULL ELSE json_build_array(json_build_object('coding',
             json_build_array(json_build_object('code', m.hcpcs_modifier_1)))) END,
           'servicedPeriod', json_build_object('start', coalesce(m.claim_line_start_date, m.claim_start_date),
                                               'end', coalesce(m.claim_line_end_date, m.claim_end_date)),
           'locationCodeableConcept', json_build_object('coding', json_build_array(json_build_object(
             'system', 'https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set', 'code', m.place_of_service_code))),
           'quantity', json_build_object('value', m.service_unit_quantity),
           'adjudication', json_build_array(
             json_build_object('category', json_build_object('coding', json_build_array(json_build_object(
               'system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'submitted'))),
               'amount', json_build_object('value', m.charge_amount, 'currency', 'USD')),
             json_build_object('category', json_build_object('coding', json_build_array(json_build_object(
               'system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'eligible'))),
               'amount', json_build_object('value', m.allowed_amount, 'currency', 'USD')),
             json_build_object('category', json_build_object('coding', json_build_array(json_build_object(
               'system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'benefit'))),
               'amount', json_build_object('value', m.paid_amount, 'currency', 'USD')))
         ) ORDER BY m.claim_line_number) AS items
  FROM tuva.medical_claim m
  WHERE m.claim_type = 'professional'
  GROUP BY m.data_source, m.claim_id
), head AS (
  SELECT DISTINCT ON (m.data_source, m.claim_id) m.*
  FROM tuva.medical_claim m
  WHERE m.claim_type = 'professional'
  ORDER BY m.data_source, m.claim_id, m.claim_line_number
)
SELECT json_build_object(
  'resourceType', 'ExplanationOfBenefit',
  'id', md5(h.data_source || '|' || h.claim_id),
  'meta', json_build_object('profile', json_build_array(
    'http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0')),
  'identifier', json_build_array(json_build_object(
    'type', json_build_object('coding', json_build_array(json_build_object(
      'system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType', 'code', 'uc'))),
    'system', 'https://payer.example/claim', 'value', h.claim_id)),
  'status', 'active',
  'type', json_build_object('coding', json_build_array(json_build_object(
    'system', 'http://terminology.hl7.org/CodeSystem/claim-type', 'code', 'professional'))),
  'use', 'claim',
  'patient', json_build_object('reference', 'Patient/' || md5(h.data_source || '|' || h.patient_id)),
  'billablePeriod', json_build_object('start', h.claim_start_date, 'end', h.claim_end_date),
  'created', h.paid_date,
  'insurer', json_build_object('reference', 'Organization/' || md5('payer')),
  'provider', json_build_object('reference', 'Practitioner/' || md5(coalesce(h.billing_npi, h.facility_npi, h.rendering_npi))),
  'outcome', 'complete',
  'careTeam', json_build_array(json_build_object('sequence', 1,
    'provider', json_build_object('reference', 'Practitioner/' || md5(h.rendering_npi)),
    'role', json_build_object('coding', json_build_array(json_build_object(
      'system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole', 'code', 'rendering'))))),
  'diagnosis', (SELECT json_agg(json_build_object('sequence', d.n,
      'diagnosisCodeableConcept', json_build_object('coding', json_build_array(json_build_object(
        'system', 'http://hl7.org/fhir/sid/icd-10-cm',
        'code', CASE WHEN length(d.code) > 3 THEN left(d.code, 3) || '.' || substr(d.code, 4) ELSE d.code END))),
      'type', json_build_array(json_build_object('coding', json_build_array(json_build_object(
        'code', CASE WHEN d.n = 1 THEN 'principal' ELSE 'secondary' END))))) ORDER BY d.n)
    FROM (VALUES (1, h.diagnosis_code_1), (2, h.diagnosis_code_2), (3, h.diagnosis_code_3), (4, h.diagnosis_code_4), (5, h.diagnosis_code_5),
                 (6, h.diagnosis_code_6), (7, h.diagnosis_code_7), (8, h.diagnosis_code_8), (9, h.diagnosis_code_9), (10, h.diagnosis_code_10),
                 (11, h.diagnosis_code_11), (12, h.diagnosis_code_12)) AS d (n, code)
    WHERE d.code IS NOT NULL),
  'insurance', json_build_array(json_build_object('focal', true, 'coverage', json_build_object('reference', 'Coverage/' || md5(h.patient_id)))),
  'item', line.items,
  'total', json_build_array(
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('code', 'submitted'))),
      'amount', json_build_object('value', line.total_charge, 'currency', 'USD')),
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('code', 'eligible'))),
      'amount', json_build_object('value', line.total_allowed, 'currency', 'USD')),
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('code', 'benefit'))),
      'amount', json_build_object('value', line.total_paid, 'currency', 'USD'))))
FROM head h
JOIN line ON line.data_source = h.data_source AND line.claim_id = h.claim_id
