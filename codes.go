package aplomb

// The codes: 1xxx calls and configuration, 2xxx uploads and releases, 3xxx rollouts, 4xxx doors, 5xxx stores.
const (
	CodeUsage       Code = "APL-1001"
	CodeConfig      Code = "APL-1002"
	CodeNoServer    Code = "APL-1003"
	CodeNoFolder    Code = "APL-1004"
	CodeSourceDir   Code = "APL-1005"
	CodeListen      Code = "APL-1006"
	CodeRequest     Code = "APL-1007"
	CodeRoute       Code = "APL-1008"
	CodeMethod      Code = "APL-1009"
	CodeMedia       Code = "APL-1010"
	CodeCut         Code = "APL-1011"
	CodeNoIndex     Code = "APL-1012"
	CodeExists      Code = "APL-1013"
	CodeCancelled   Code = "APL-1014"
	CodeWhichSite   Code = "APL-1015"
	CodeStore       Code = "APL-1016"
	CodeInternal    Code = "APL-1999"
	CodeManifest    Code = "APL-2001"
	CodePath        Code = "APL-2002"
	CodeSecret      Code = "APL-2003"
	CodeLimit       Code = "APL-2004"
	CodeBlob        Code = "APL-2005"
	CodeUploadGone  Code = "APL-2006"
	CodeRules       Code = "APL-2007"
	CodeChanged     Code = "APL-2008"
	CodeNoSpace     Code = "APL-2009"
	CodeMissing     Code = "APL-2010"
	CodeNoSite      Code = "APL-3001"
	CodeNoRelease   Code = "APL-3002"
	CodeNoTarget    Code = "APL-3003"
	CodeRetired     Code = "APL-3004"
	CodeBad         Code = "APL-3005"
	CodeNothingUndo Code = "APL-3006"
	CodeNotLastAct  Code = "APL-3007"
	CodeOvertaken   Code = "APL-3008"
	CodeHostTaken   Code = "APL-3009"
	CodeIsLive      Code = "APL-3010"
	CodeNotWhole    Code = "APL-3011"
	CodeReason      Code = "APL-3012"
	CodeHosts       Code = "APL-3013"
	CodeSwitch      Code = "APL-3014"
	CodeNothing     Code = "APL-3015"
	CodeUpstream    Code = "APL-3016"
	CodeSiteRule    Code = "APL-3017"
	CodeSiteBusy    Code = "APL-3018"
	CodeForget      Code = "APL-3019"
	CodeAppCold     Code = "APL-3020"
	CodeDenied      Code = "APL-4001"
	CodeForbidden   Code = "APL-4002"
	CodeHostName    Code = "APL-4003"
	CodeBusy        Code = "APL-4004"
	CodeTokenEnded  Code = "APL-4005"
	CodeAttempts    Code = "APL-4006"
	CodeTokenTaken  Code = "APL-4007"
	CodeNoToken     Code = "APL-4008"
	CodeTokenAsked  Code = "APL-4009"
	CodeDegraded    Code = "APL-5001"
	CodeLocked      Code = "APL-5002"
	CodeDamaged     Code = "APL-5003"
	CodeHealthy     Code = "APL-5004"
	CodeBackup      Code = "APL-5005"
	CodeNewer       Code = "APL-5006"
	CodeReadOnly    Code = "APL-5007"
)

// Codes lists every code with its kind and its title.
var Codes = map[Code]CodeText{
	CodeUsage:       {ErrUsage, "The command was not called in a way that is clear"},
	CodeConfig:      {ErrUsage, "aplomb.toml or machine.toml has an error"},
	CodeNoServer:    {ErrDown, "No Aplomb server answers"},
	CodeNoFolder:    {ErrUsage, "The folder to deploy cannot be read"},
	CodeSourceDir:   {ErrRefused, "The folder looks like source, not like built output"},
	CodeListen:      {ErrUsage, "An address cannot be listened on"},
	CodeRequest:     {ErrUsage, "The request is not one the API understands"},
	CodeRoute:       {ErrNotFound, "There is no such address in the API"},
	CodeMethod:      {ErrUsage, "The API does not do that at this address"},
	CodeMedia:       {ErrUsage, "The API does not read that kind of content here"},
	CodeCut:         {ErrRunning, "The answer was not waited for"},
	CodeNoIndex:     {ErrRefused, "The folder has no index.html"},
	CodeExists:      {ErrRefused, "The file is there already"},
	CodeCancelled:   {ErrUsage, "It was cancelled before anything went live"},
	CodeWhichSite:   {ErrRefused, "A deploy has to say which site it is for"},
	CodeStore:       {ErrRefused, "The folder holds a server's own data"},
	CodeInternal:    {ErrInternal, "Something in Aplomb went wrong"},
	CodeManifest:    {ErrInvalid, "The list of files cannot be used"},
	CodePath:        {ErrInvalid, "A file's name or kind cannot be served"},
	CodeSecret:      {ErrRefused, "The folder holds what looks like a secret"},
	CodeLimit:       {ErrInvalid, "The upload is larger than the limits allow"},
	CodeBlob:        {ErrInvalid, "An uploaded file is not what its digest says"},
	CodeUploadGone:  {ErrRefused, "The upload is no longer open"},
	CodeRules:       {ErrInvalid, "A rule in _headers or _redirects cannot be used"},
	CodeChanged:     {ErrRefused, "Other bytes under a URL that browsers keep as immutable"},
	CodeNoSpace:     {ErrInvalid, "The disk is full"},
	CodeMissing:     {ErrInvalid, "Files of the release are missing"},
	CodeNoSite:      {ErrNotFound, "There is no such site"},
	CodeNoRelease:   {ErrNotFound, "There is no such release"},
	CodeNoTarget:    {ErrRefused, "There is no release to go back to"},
	CodeRetired:     {ErrRefused, "The release is retired"},
	CodeBad:         {ErrRefused, "The release was withdrawn"},
	CodeNothingUndo: {ErrRefused, "There is nothing to undo"},
	CodeNotLastAct:  {ErrRefused, "That act is no longer the last"},
	CodeOvertaken:   {ErrRefused, "The rollout was ended by another act"},
	CodeHostTaken:   {ErrRefused, "The host belongs to another site"},
	CodeIsLive:      {ErrRefused, "The release is live"},
	CodeNotWhole:    {ErrRefused, "The release's bytes are no longer whole"},
	CodeReason:      {ErrRefused, "A reason is needed"},
	CodeHosts:       {ErrRefused, "The site's hosts are not set by a deploy"},
	CodeSwitch:      {ErrInvalid, "The edge could not switch"},
	CodeNothing:     {ErrRefused, "It is so already"},
	CodeUpstream:    {ErrRefused, "The site does not allow that address of an app"},
	CodeSiteRule:    {ErrUsage, "A site's rule cannot be set like that"},
	CodeSiteBusy:    {ErrRefused, "A deploy is under way"},
	CodeForget:      {ErrRefused, "There is nothing to forget under that name"},
	CodeAppCold:     {ErrInvalid, "The release's app does not answer"},
	CodeDenied:      {ErrDenied, "Not logged in"},
	CodeForbidden:   {ErrDenied, "Not allowed"},
	CodeHostName:    {ErrDenied, "The API does not answer under that host name"},
	CodeBusy:        {ErrDown, "The API has too many requests at once"},
	CodeTokenEnded:  {ErrDenied, "The token has expired or was revoked"},
	CodeAttempts:    {ErrDenied, "Too many attempts with tokens that open nothing"},
	CodeTokenTaken:  {ErrRefused, "There is a token of that name"},
	CodeNoToken:     {ErrNotFound, "There is no such token"},
	CodeTokenAsked:  {ErrUsage, "A token cannot be made like that"},
	CodeDegraded:    {ErrDegraded, "The ledger refuses to write"},
	CodeLocked:      {ErrRefused, "Another process uses the data folder"},
	CodeDamaged:     {ErrDegraded, "Stored bytes are damaged"},
	CodeHealthy:     {ErrRefused, "There is nothing to recover"},
	CodeBackup:      {ErrInvalid, "The backup cannot be used"},
	CodeNewer:       {ErrRefused, "The folder holds what a restore would take away"},
	CodeReadOnly:    {ErrDegraded, "The data folder cannot be written"},
}
