-- Places of service: those of the table, and others that claims name. The check digit
-- of an NPI is Luhn's over 80840 and its ten digits; the prefix adds 24.
SELECT p.*,
       length(p.npi) = 10 AND translate(p.npi, '0123456789', '') = ''
       AND (24 + strpos('0516273849', substr(p.npi, 1, 1)) - 1 + strpos('0516273849', substr(p.npi, 3, 1)) - 1
            + strpos('0516273849', substr(p.npi, 5, 1)) - 1 + strpos('0516273849', substr(p.npi, 7, 1)) - 1 + strpos('0516273849', substr(p.npi, 9, 1)) - 1
            + strpos('0123456789', substr(p.npi, 2, 1)) - 1 + strpos('0123456789', substr(p.npi, 4, 1)) - 1 + strpos('0123456789', substr(p.npi, 6, 1)) - 1 + strpos('0123456789', substr(p.npi, 8, 1)) - 1 + strpos('0123456789', substr(p.npi, 10, 1)) - 1) % 10 = 0 AS is_npi
FROM (SELECT CAST(o.id AS VARCHAR) AS npi, o.name, o.address, o.city, o.state, CAST(o.zip AS VARCHAR) AS zip, CAST(o.phone AS VARCHAR) AS phone
      FROM cpcds.organization_providers o
      UNION ALL
      SELECT DISTINCT CAST(c.claim_site_of_service_npi AS VARCHAR), NULL, NULL, NULL, NULL, NULL, NULL
      FROM cpcds.claims c
      WHERE c.claim_site_of_service_npi IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM cpcds.organization_providers q WHERE CAST(q.id AS VARCHAR) = CAST(c.claim_site_of_service_npi AS VARCHAR))) p
