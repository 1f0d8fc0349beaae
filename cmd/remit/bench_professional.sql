-- The professional ExplanationOfBenefit of the shipped Tuva set, written by hand
-- for PostgreSQL 15 and later as json_build_object invites to: all objects by it,
-- and what a claim lacks taken out by json_strip_nulls. It makes what
-- bench_professional_tuned.sql makes, which says more, by the same joins and ids.
WITH member AS MATERIALIZED (
  -- Each member (starts is NULL) and each of its spans: its reference, and that
  -- of the payer: the span's own, or that of the member's last span.
  SELECT k.data_source, k.patient_id, k.starts, k.ends, k.next_starts,
         json_build_object('reference', CASE WHEN k.starts IS NULL THEN 'Patient/' ELSE 'Coverage/' END || i.self) AS self,
         CASE WHEN k.payer IS NOT NULL THEN json_build_object('reference', 'Organization/' || i.payer) END AS insurer
  FROM (
    SELECT e.data_source, e.patient_id, e.enrollment_start_date AS starts, e.enrollment_end_date AS ends, e.payer,
           lead(e.enrollment_start_date) OVER (PARTITION BY e.data_source, e.patient_id ORDER BY e.enrollment_start_date) AS next_starts,
           convert_to(chr(octet_length(e.data_source)) || e.data_source || chr(octet_length(e.patient_id)) || e.patient_id
             || chr(10) || e.enrollment_start_date, 'UTF8') || '\x00' AS key
    FROM tuva.eligibility e
    UNION ALL
    SELECT e.data_source, e.patient_id, NULL, NULL, substr(max(e.enrollment_start_date || e.payer), 11), NULL,
           convert_to(chr(octet_length(e.data_source)) || e.data_source || chr(octet_length(e.patient_id)) || e.patient_id, 'UTF8')
    FROM tuva.eligibility e
    GROUP BY e.data_source, e.patient_id
  ) k, LATERAL (
    -- An id is 20 bytes of the SHA-256 digest of the key's parts, each after its
    -- length, in base32. PostgreSQL has no base32: five bytes are drawn apart
    -- into eight bytes of five bits, all at once in a bigint, which become the
    -- letters a to z and 2 to 7.
    SELECT x.self, x.payer FROM (
      SELECT convert_from(int8send(x.a1 - ((x.a1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.b1 - ((x.b1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.c1 - ((x.c1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.d1 - ((x.d1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281), 'UTF8') AS self,
             convert_from(int8send(x.a2 - ((x.a2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.b2 - ((x.b2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.c2 - ((x.c2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
                 || int8send(x.d2 - ((x.d2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281), 'UTF8') AS payer FROM (
      SELECT ((x.a1 & 279227437569541088) << 3) + (x.a1 & 8725857424048159) AS a1, ((x.b1 & 279227437569541088) << 3) + (x.b1 & 8725857424048159) AS b1,
             ((x.c1 & 279227437569541088) << 3) + (x.c1 & 8725857424048159) AS c1, ((x.d1 & 279227437569541088) << 3) + (x.d1 & 8725857424048159) AS d1,
             ((x.a2 & 279227437569541088) << 3) + (x.a2 & 8725857424048159) AS a2, ((x.b2 & 279227437569541088) << 3) + (x.b2 & 8725857424048159) AS b2,
             ((x.c2 & 279227437569541088) << 3) + (x.c2 & 8725857424048159) AS c2, ((x.d2 & 279227437569541088) << 3) + (x.d2 & 8725857424048159) AS d2 FROM (
      SELECT ((x.a1 & 4499201581906944) << 6) + (x.a1 & 4393751544831) AS a1, ((x.b1 & 4499201581906944) << 6) + (x.b1 & 4393751544831) AS b1,
             ((x.c1 & 4499201581906944) << 6) + (x.c1 & 4393751544831) AS c1, ((x.d1 & 4499201581906944) << 6) + (x.d1 & 4393751544831) AS d1,
             ((x.a2 & 4499201581906944) << 6) + (x.a2 & 4393751544831) AS a2, ((x.b2 & 4499201581906944) << 6) + (x.b2 & 4393751544831) AS b2,
             ((x.c2 & 4499201581906944) << 6) + (x.c2 & 4393751544831) AS c2, ((x.d2 & 4499201581906944) << 6) + (x.d2 & 4393751544831) AS d2 FROM (
      SELECT ((x.a1 & 1099510579200) << 12) + (x.a1 & 1048575) AS a1, ((x.b1 & 1099510579200) << 12) + (x.b1 & 1048575) AS b1,
             ((x.c1 & 1099510579200) << 12) + (x.c1 & 1048575) AS c1, ((x.d1 & 1099510579200) << 12) + (x.d1 & 1048575) AS d1,
             ((x.a2 & 1099510579200) << 12) + (x.a2 & 1048575) AS a2, ((x.b2 & 1099510579200) << 12) + (x.b2 & 1048575) AS b2,
             ((x.c2 & 1099510579200) << 12) + (x.c2 & 1048575) AS c2, ((x.d2 & 1099510579200) << 12) + (x.d2 & 1048575) AS d2 FROM (
      SELECT ('x' || encode(substr(x.h1, 1, 5), 'hex'))::bit(40)::bigint AS a1, ('x' || encode(substr(x.h1, 6, 5), 'hex'))::bit(40)::bigint AS b1,
             ('x' || encode(substr(x.h1, 11, 5), 'hex'))::bit(40)::bigint AS c1, ('x' || encode(substr(x.h1, 16, 5), 'hex'))::bit(40)::bigint AS d1,
             ('x' || encode(substr(x.h2, 1, 5), 'hex'))::bit(40)::bigint AS a2, ('x' || encode(substr(x.h2, 6, 5), 'hex'))::bit(40)::bigint AS b2,
             ('x' || encode(substr(x.h2, 11, 5), 'hex'))::bit(40)::bigint AS c2, ('x' || encode(substr(x.h2, 16, 5), 'hex'))::bit(40)::bigint AS d2 FROM (
      SELECT sha256(k.key) AS h1,
             sha256(convert_to(chr(5) || 'payer' || chr(octet_length(k.payer)) || k.payer, 'UTF8')) AS h2
      OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x
  ) i
)
SELECT json_strip_nulls(json_build_object(
  'resourceType', 'ExplanationOfBenefit', 'id', i.claim, 'meta', c.meta,
  'identifier', json_build_array(json_build_object(
    'type', json_build_object('coding', json_build_array(json_build_object('system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType', 'code', 'uc'))),
    'system', 'https://payer.example/claim', 'value', c.claim_id)),
  'status', 'active',
  'type', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/claim-type', 'code', 'professional'))),
  'use', 'claim', 'patient', c.patient,
  'billablePeriod', json_build_object('start', c.claim_start_date, 'end', c.claim_end_date),
  CASE WHEN c.paid_date IS NULL THEN '_created' ELSE 'created' END,
  CASE WHEN c.paid_date IS NULL THEN json_build_object('extension', json_build_array(json_build_object('url', 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', 'valueCode', 'unknown')))
       ELSE to_json(c.paid_date) END,
  'insurer', c.insurer, 'provider', json_build_object('reference', c.provider || i.provider),
  'claim', json_build_object('reference', 'Claim/' || i.claim), 'outcome', 'complete',
  'careTeam', t.care_team, 'diagnosis', c.diagnosis,
  'insurance', json_build_array(json_build_object('focal', true, 'coverage', c.coverage)),
  'item', c.items,
  'total', json_build_array(
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'submitted'))),
      'amount', json_build_object('value', c.charge, 'currency', 'USD')),
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'eligible'))),
      'amount', json_build_object('value', c.allowed, 'currency', 'USD')),
    json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'benefit'))),
      'amount', json_build_object('value', c.paid, 'currency', 'USD'))),
  'payment', CASE WHEN c.paid_date IS NOT NULL THEN json_build_object('date', c.paid_date) END)) AS eob
FROM (
  SELECT h.claim_id, h.claim_start_date, h.claim_end_date, h.paid_date, f.meta, p.self AS patient,
         coalesce(s.insurer, p.insurer) AS insurer,
         coalesce(s.self, json_build_object('extension', json_build_array(json_build_object('url', 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', 'valueCode', 'unknown')))) AS coverage,
         h.data_source, coalesce(h.billing_npi, h.facility_npi, h.rendering_npi) AS npi,
         CASE WHEN coalesce(h.billing_npi, h.facility_npi) IS NULL THEN 'Practitioner/' ELSE 'Organization/' END AS provider,
         (SELECT json_agg(json_build_object(
             'sequence', d.n,
             'diagnosisCodeableConcept', json_build_object('coding', json_build_array(json_build_object(
               'system', CASE h.diagnosis_code_type WHEN 'icd-10-cm' THEN 'http://hl7.org/fhir/sid/icd-10-cm'
                                                    WHEN 'icd-9-cm' THEN 'http://hl7.org/fhir/sid/icd-9-cm' END,
               'code', CASE WHEN length(d.code) <= d.dot OR strpos(d.code, '.') > 0 THEN d.code
                            ELSE left(d.code, d.dot) || '.' || substr(d.code, d.dot + 1) END))),
             'type', CASE WHEN d.n = 1 AND h.diagnosis_code_1 IS NOT NULL
               THEN json_build_array(json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/ex-diagnosistype', 'code', 'principal'))))
               ELSE json_build_array(json_build_object('coding', json_build_array(json_build_object('system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimDiagnosisType', 'code', 'secondary')))) END))
          FROM (SELECT u.code, u.n, CASE WHEN h.diagnosis_code_type = 'icd-9-cm' AND left(u.code, 1) IN ('E', 'e') THEN 4 ELSE 3 END AS dot
                FROM unnest(array_remove(ARRAY[
                  h.diagnosis_code_1, h.diagnosis_code_2, h.diagnosis_code_3, h.diagnosis_code_4, h.diagnosis_code_5,
                  h.diagnosis_code_6, h.diagnosis_code_7, h.diagnosis_code_8, h.diagnosis_code_9, h.diagnosis_code_10,
                  h.diagnosis_code_11, h.diagnosis_code_12, h.diagnosis_code_13, h.diagnosis_code_14, h.diagnosis_code_15,
                  h.diagnosis_code_16, h.diagnosis_code_17, h.diagnosis_code_18, h.diagnosis_code_19, h.diagnosis_code_20,
                  h.diagnosis_code_21, h.diagnosis_code_22, h.diagnosis_code_23, h.diagnosis_code_24, h.diagnosis_code_25],
                  NULL)) WITH ORDINALITY AS u (code, n)) d) AS diagnosis,
         l.items, l.npis, l.charge, l.allowed, l.paid
  FROM tuva.medical_claim h
  CROSS JOIN (SELECT json_build_object(
      'lastUpdated', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'profile', json_build_array('http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.1.0')) AS meta) f
  JOIN member p ON p.data_source = h.data_source AND p.patient_id = h.patient_id AND p.starts IS NULL
  -- The last span that begins by the claim's first day, if it holds the day.
  LEFT JOIN member s ON s.data_source = h.data_source AND s.patient_id = h.patient_id
    AND h.claim_start_date BETWEEN s.starts AND s.ends AND (s.next_starts IS NULL OR h.claim_start_date < s.next_starts)
  CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object(
             'sequence', l.n, 'careTeamSequence', CASE WHEN l.rendering_npi IS NOT NULL THEN json_build_array(l.team) END,
             'productOrService', l.product, 'modifier', l.modifier, 'servicedPeriod', l.serviced, 'locationCodeableConcept', l.place,
             'quantity', CASE WHEN l.quantity IS NOT NULL THEN json_build_object('value', l.quantity) END,
             'adjudication', l.adjudication) ORDER BY l.n) AS items,
           array_agg(l.rendering_npi ORDER BY l.team) FILTER (WHERE l.first) AS npis,
           sum(l.charge_amount) AS charge, sum(l.allowed_amount) AS allowed, sum(l.paid_amount) AS paid
    FROM (
      SELECT m.claim_line_number AS n, m.rendering_npi, m.charge_amount, m.allowed_amount, m.paid_amount, m.service_unit_quantity AS quantity,
             -- The care team has each rendering practitioner of the lines once.
             dense_rank() OVER w AS team, rank() OVER w = row_number() OVER w AND m.rendering_npi IS NOT NULL AS first,
             json_build_object('coding', json_build_array(json_build_object(
               'system', CASE WHEN translate(left(m.hcpcs_code, 4), '0123456789', '') = '' THEN 'http://www.ama-assn.org/go/cpt'
                              ELSE 'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets' END,
               'code', m.hcpcs_code))) AS product,
             CASE WHEN coalesce(m.hcpcs_modifier_1, m.hcpcs_modifier_2, m.hcpcs_modifier_3, m.hcpcs_modifier_4, m.hcpcs_modifier_5) IS NOT NULL THEN (
               SELECT json_agg(json_build_object('coding', json_build_array(json_build_object(
                 'system', CASE WHEN translate(left(o.code, 1), '0123456789', '') = '' THEN 'http://www.ama-assn.org/go/cpt'
                                ELSE 'https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets' END,
                 'code', o.code))))
               FROM unnest(array_remove(ARRAY[m.hcpcs_modifier_1, m.hcpcs_modifier_2, m.hcpcs_modifier_3,
                 m.hcpcs_modifier_4, m.hcpcs_modifier_5], NULL)) AS o (code)) END AS modifier,
             json_build_object('start', coalesce(m.claim_line_start_date, m.claim_start_date),
                               'end', coalesce(m.claim_line_end_date, m.claim_end_date)) AS serviced,
             json_build_object('coding', json_build_array(json_build_object(
               'system', 'https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set',
               'code', m.place_of_service_code))) AS place,
             json_build_array(
               json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator', 'code', 'benefitpaymentstatus'))), 'reason', json_build_object('coding', json_build_array(json_build_object('system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBPayerAdjudicationStatus', 'code', 'other')))),
               json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'submitted'))),
                 'amount', json_build_object('value', m.charge_amount, 'currency', 'USD')),
               json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'eligible'))),
                 'amount', json_build_object('value', m.allowed_amount, 'currency', 'USD')),
               json_build_object('category', json_build_object('coding', json_build_array(json_build_object('system', 'http://terminology.hl7.org/CodeSystem/adjudication', 'code', 'benefit'))),
                 'amount', json_build_object('value', m.paid_amount, 'currency', 'USD'))) AS adjudication
      FROM tuva.medical_claim m
      WHERE m.data_source = h.data_source AND m.claim_id = h.claim_id
      WINDOW w AS (ORDER BY m.rendering_npi COLLATE "C")
      OFFSET 0) l
  ) l
  WHERE h.claim_type = 'professional'
    AND NOT EXISTS (SELECT FROM tuva.medical_claim e
                    WHERE e.data_source = h.data_source AND e.claim_id = h.claim_id AND e.claim_line_number < h.claim_line_number)
  OFFSET 0
) c CROSS JOIN LATERAL (
  SELECT x.claim, x.provider FROM (
    SELECT convert_from(int8send(x.a1 - ((x.a1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.b1 - ((x.b1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.c1 - ((x.c1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.d1 - ((x.d1 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281), 'UTF8') AS claim,
           convert_from(int8send(x.a2 - ((x.a2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.b2 - ((x.b2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.c2 - ((x.c2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.d2 - ((x.d2 + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281), 'UTF8') AS provider FROM (
    SELECT ((x.a1 & 279227437569541088) << 3) + (x.a1 & 8725857424048159) AS a1, ((x.b1 & 279227437569541088) << 3) + (x.b1 & 8725857424048159) AS b1,
           ((x.c1 & 279227437569541088) << 3) + (x.c1 & 8725857424048159) AS c1, ((x.d1 & 279227437569541088) << 3) + (x.d1 & 8725857424048159) AS d1,
           ((x.a2 & 279227437569541088) << 3) + (x.a2 & 8725857424048159) AS a2, ((x.b2 & 279227437569541088) << 3) + (x.b2 & 8725857424048159) AS b2,
           ((x.c2 & 279227437569541088) << 3) + (x.c2 & 8725857424048159) AS c2, ((x.d2 & 279227437569541088) << 3) + (x.d2 & 8725857424048159) AS d2 FROM (
    SELECT ((x.a1 & 4499201581906944) << 6) + (x.a1 & 4393751544831) AS a1, ((x.b1 & 4499201581906944) << 6) + (x.b1 & 4393751544831) AS b1,
           ((x.c1 & 4499201581906944) << 6) + (x.c1 & 4393751544831) AS c1, ((x.d1 & 4499201581906944) << 6) + (x.d1 & 4393751544831) AS d1,
           ((x.a2 & 4499201581906944) << 6) + (x.a2 & 4393751544831) AS a2, ((x.b2 & 4499201581906944) << 6) + (x.b2 & 4393751544831) AS b2,
           ((x.c2 & 4499201581906944) << 6) + (x.c2 & 4393751544831) AS c2, ((x.d2 & 4499201581906944) << 6) + (x.d2 & 4393751544831) AS d2 FROM (
    SELECT ((x.a1 & 1099510579200) << 12) + (x.a1 & 1048575) AS a1, ((x.b1 & 1099510579200) << 12) + (x.b1 & 1048575) AS b1,
           ((x.c1 & 1099510579200) << 12) + (x.c1 & 1048575) AS c1, ((x.d1 & 1099510579200) << 12) + (x.d1 & 1048575) AS d1,
           ((x.a2 & 1099510579200) << 12) + (x.a2 & 1048575) AS a2, ((x.b2 & 1099510579200) << 12) + (x.b2 & 1048575) AS b2,
           ((x.c2 & 1099510579200) << 12) + (x.c2 & 1048575) AS c2, ((x.d2 & 1099510579200) << 12) + (x.d2 & 1048575) AS d2 FROM (
    SELECT ('x' || encode(substr(x.h1, 1, 5), 'hex'))::bit(40)::bigint AS a1, ('x' || encode(substr(x.h1, 6, 5), 'hex'))::bit(40)::bigint AS b1,
           ('x' || encode(substr(x.h1, 11, 5), 'hex'))::bit(40)::bigint AS c1, ('x' || encode(substr(x.h1, 16, 5), 'hex'))::bit(40)::bigint AS d1,
           ('x' || encode(substr(x.h2, 1, 5), 'hex'))::bit(40)::bigint AS a2, ('x' || encode(substr(x.h2, 6, 5), 'hex'))::bit(40)::bigint AS b2,
           ('x' || encode(substr(x.h2, 11, 5), 'hex'))::bit(40)::bigint AS c2, ('x' || encode(substr(x.h2, 16, 5), 'hex'))::bit(40)::bigint AS d2 FROM (
    SELECT sha256(convert_to(chr(7) || 'medical' || chr(octet_length(c.data_source)) || c.data_source || chr(octet_length(c.claim_id)) || c.claim_id, 'UTF8')) AS h1,
           sha256(convert_to(chr(3) || 'npi' || chr(octet_length(c.npi)) || c.npi, 'UTF8')) AS h2
    OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x
) i CROSS JOIN LATERAL (
  SELECT json_agg(json_build_object('sequence', x.n, 'provider', json_build_object('reference', 'Practitioner/' || x.id),
      'role', json_build_object('coding', json_build_array(json_build_object('system', 'http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole', 'code', 'rendering')))) ORDER BY x.n) AS care_team FROM (
    SELECT x.n, convert_from(int8send(x.a - ((x.a + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.b - ((x.b + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.c - ((x.c + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281)
               || int8send(x.d - ((x.d + 434041037028460038) >> 5 & 72340172838076673) * 73 + 7016996765293437281), 'UTF8') AS id FROM (
    SELECT x.n, ((x.a & 279227437569541088) << 3) + (x.a & 8725857424048159) AS a, ((x.b & 279227437569541088) << 3) + (x.b & 8725857424048159) AS b,
           ((x.c & 279227437569541088) << 3) + (x.c & 8725857424048159) AS c, ((x.d & 279227437569541088) << 3) + (x.d & 8725857424048159) AS d FROM (
    SELECT x.n, ((x.a & 4499201581906944) << 6) + (x.a & 4393751544831) AS a, ((x.b & 4499201581906944) << 6) + (x.b & 4393751544831) AS b,
           ((x.c & 4499201581906944) << 6) + (x.c & 4393751544831) AS c, ((x.d & 4499201581906944) << 6) + (x.d & 4393751544831) AS d FROM (
    SELECT x.n, ((x.a & 1099510579200) << 12) + (x.a & 1048575) AS a, ((x.b & 1099510579200) << 12) + (x.b & 1048575) AS b,
           ((x.c & 1099510579200) << 12) + (x.c & 1048575) AS c, ((x.d & 1099510579200) << 12) + (x.d & 1048575) AS d FROM (
    SELECT x.n, ('x' || encode(substr(x.h, 1, 5), 'hex'))::bit(40)::bigint AS a, ('x' || encode(substr(x.h, 6, 5), 'hex'))::bit(40)::bigint AS b,
           ('x' || encode(substr(x.h, 11, 5), 'hex'))::bit(40)::bigint AS c, ('x' || encode(substr(x.h, 16, 5), 'hex'))::bit(40)::bigint AS d FROM (
    SELECT u.n, sha256(convert_to(chr(3) || 'npi' || chr(octet_length(u.npi)) || u.npi, 'UTF8')) AS h
    FROM unnest(c.npis) WITH ORDINALITY AS u (npi, n)
    OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x OFFSET 0) x
) t
