"""SMTP (RFC 5321): a host takes mail for itself, into a Maildir or into memory.

`syntax`, `session` and `content` are the protocol, without input and output; `server` drives them
over a stream; `delivery` and `maildir` keep what came.
"""

from pystack.apps.limits import SmtpLimits as SmtpLimits
from pystack.apps.smtp.message import Message as Message
from pystack.apps.smtp.service import SmtpService as SmtpService
