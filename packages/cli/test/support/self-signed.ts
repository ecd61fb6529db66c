/** A certificate that signed itself, for 127.0.0.1 and until the year 2120, with its key. Both are PEM. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
}

/** Two certificates for the listeners of nodes that run as processes; a node trusts none of them by itself. */
export const selfSigned: readonly [SelfSigned, SelfSigned] = [
  {
    cert: `-----BEGIN CERTIFICATE-----
MIIBNjCB3qADAgECAgEBMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMTBWZpcnN0MCAX
DTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAQMQ4wDAYDVQQDEwVmaXJz
dDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLHylykidDO44hZJyexm0GLnnqI6
I6GeIDnAM89qq0YpWK4Xm/AzQhGxPT1op/fSpOfsbh+xidy0S7orae9X1zejJzAl
MBIGA1UdEwEB/wQIMAYBAf8CAQAwDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQD
AgNHADBEAiA3WIi+Ncn156T9oLdiTZMNU+lYZ9DlXd+9dtwF8uxxwQIgG1y9bLtE
eZiNcnEn53buU/kFS2DR2/2CZ8ruDO7ScGo=
-----END CERTIFICATE-----
`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2KyFXY1xd0BAkfVU
765iwp5qqZ8Fj/mTYzCEqxO9o06hRANCAASx8pcpInQzuOIWScnsZtBi556iOiOh
niA5wDPPaqtGKViuF5vwM0IRsT09aKf30qTn7G4fsYnctEu6K2nvV9c3
-----END PRIVATE KEY-----
`,
  },
  {
    cert: `-----BEGIN CERTIFICATE-----
MIIBOjCB4KADAgECAgECMAoGCCqGSM49BAMCMBExDzANBgNVBAMTBnNlY29uZDAg
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowETEPMA0GA1UEAxMGc2Vj
b25kMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETZ23s+F9qywmd/Cs2i0S+j/N
tSy2R5gaD3gtYKzGZQxZAyldqhGkyBT6Q/AhuHGXEBrIBUmY9NKmPooWT2zDN6Mn
MCUwEgYDVR0TAQH/BAgwBgEB/wIBADAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49
BAMCA0kAMEYCIQDhhHvAQ21wYBxuSu+n/Wjaz50G3B0/0HseDeKIIUE3ZwIhAMUg
wagHmwFJ4w1VrEIhaxB6zbSs4lCzkaCfcbtUcikV
-----END CERTIFICATE-----
`,
    key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgofXaECfRR+3G7cfm
yl7QVngikBDt2GefxxQsmEDeaVqhRANCAARNnbez4X2rLCZ38KzaLRL6P821LLZH
mBoPeC1grMZlDFkDKV2qEaTIFPpD8CG4cZcQGsgFSZj00qY+ihZPbMM3
-----END PRIVATE KEY-----
`,
  },
];
